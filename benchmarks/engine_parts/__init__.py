"""What ``engine.py`` is made of."""
