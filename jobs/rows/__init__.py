"""Input rows: from bytes in any of the accepted formats to validated documents."""
