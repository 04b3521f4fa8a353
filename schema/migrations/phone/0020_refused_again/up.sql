-- What record a refused change was for: it is sent again to a server that was restored and has lost what it kept aside, also when the
-- record itself has left the phone.
ALTER TABLE refused ADD COLUMN kind TEXT;
ALTER TABLE refused ADD COLUMN community TEXT;
