DROP INDEX patrols_sums;
DROP INDEX cases_received;
DROP INDEX cases_sums;
DROP INDEX cases_late;
DROP INDEX cases_major;
DROP INDEX cases_review;
DROP INDEX cases_open_due;
