"""YAML documents: read with the place of everything in them, and written so that nobody can misread them.

This room knows no setting, key or route. The only room that knows ruamel.yaml.
"""
