"""Makes TPC-DS with the generator in DuckDB's wheel of version 1.0, and writes what PostgreSQL loads.

    export.py make DATABASE SCALE     generate into a DuckDB file
    export.py tables DATABASE         [{"name", "ddl"}] as JSON
    export.py queries DATABASE        [{"number", "sql"}] as JSON
    export.py rows DATABASE TABLE     CSV on standard output; NULL is empty, an empty string is quoted
"""

import json
import sys

import duckdb

command, database = sys.argv[1:3]
connection = duckdb.connect(database)
if command == "make":
    connection.execute(f"CALL dsdgen(sf = {float(sys.argv[3])})")
elif command == "tables":
    rows = connection.execute("SELECT table_name, sql FROM duckdb_tables() ORDER BY 1").fetchall()
    json.dump([{"name": name, "ddl": ddl} for name, ddl in rows], sys.stdout)
elif command == "queries":
    rows = connection.execute("SELECT query_nr, query FROM tpcds_queries() ORDER BY 1").fetchall()
    json.dump([{"number": number, "sql": sql.strip().rstrip(";")} for number, sql in rows], sys.stdout)
elif command == "rows":
    table = sys.argv[3].replace('"', '""')
    connection.execute(f"COPY \"{table}\" TO '/dev/stdout' (FORMAT csv, HEADER false)")
else:
    sys.exit(f"there is no command {command}")
