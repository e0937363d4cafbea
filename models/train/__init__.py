"""Programs that make the trained models: `python -m models.train.<name>`, from the top folder."""
