"""The alerter's database: SQLite or PostgreSQL. Tables, migrations, transactions, and the positions of the readers."""

from pegel.alerter.database.engine import Database, DatabaseLocked, DatabaseUnavailable
from pegel.alerter.database.schema import check_schema, migrate

__all__ = ["Database", "DatabaseLocked", "DatabaseUnavailable", "check_schema", "migrate"]
