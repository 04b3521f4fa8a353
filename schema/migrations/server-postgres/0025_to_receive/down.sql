DROP INDEX cases_to_receive;
