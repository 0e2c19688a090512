"""What the report of a study says, section by section."""
