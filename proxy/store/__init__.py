"""Persistence: the only room that knows peewee. Everything outside handles plain rows and frozen data."""
