DROP TABLE refused_parcels;
