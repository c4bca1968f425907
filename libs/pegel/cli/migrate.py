"""`pegel migrate`: the alerter's database, brought to this version's schema under a lock."""

from pegel.alerter.database import migrate
from pegel.runtime.settings import Settings


def migrate_database(settings: Settings) -> int:
    """Migrate and say so. Raises ConfigurationError when the database can't be reached."""
    migrate(settings.resolved_database_url)
    print("the database has this version's schema")
    return 0
