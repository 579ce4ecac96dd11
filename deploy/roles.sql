-- Database and roles of one service. For a DBA, as a superuser, once per service:
--   psql -v service=customer -v owner_password=... -v password=... -v bulk_password=... -f deploy/roles.sql
-- The local installation runs the same statements. Running them again sets passwords and limits and nothing else.
--
-- The owner migrates and nothing else; the service serves and works; the bulk role imports, detects and moves.
-- None of them bypasses row-level security.
\set database guanhu_ :service
\set owner guanhu_ :service _owner
\set bulk guanhu_ :service _bulk

SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', name)
FROM unnest(ARRAY[:'owner', :'database', :'bulk']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE :"owner" PASSWORD :'owner_password';
ALTER ROLE :"database" PASSWORD :'password';
ALTER ROLE :"bulk" PASSWORD :'bulk_password';

-- A query that hangs must not take the service with it; bulk work may take its time.
ALTER ROLE :"database" SET statement_timeout = '15s';
ALTER ROLE :"database" SET lock_timeout = '5s';
ALTER ROLE :"database" SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE :"bulk" SET statement_timeout = '30min';
ALTER ROLE :"bulk" SET lock_timeout = '30s';
ALTER ROLE :"bulk" SET idle_in_transaction_session_timeout = '10min';

-- Where the data is spread over machines, the caller's branches must travel with the transaction.
ALTER ROLE :"database" SET citus.propagate_set_commands = 'local';
ALTER ROLE :"bulk" SET citus.propagate_set_commands = 'local';

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"database", :"bulk";
GRANT TEMPORARY ON DATABASE :"database" TO :"bulk";
