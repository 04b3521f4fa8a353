DROP INDEX patrols_hazards;
