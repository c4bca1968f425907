"""What teams say of their pages: kept here, told to the judge, and compared with what was promised."""
