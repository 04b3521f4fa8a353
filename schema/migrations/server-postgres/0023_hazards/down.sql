DROP TABLE hazards;
