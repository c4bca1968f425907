"""Prices and charges. Money is an integer of a millionth of the currency (`micros`) or a Decimal, never a float."""
