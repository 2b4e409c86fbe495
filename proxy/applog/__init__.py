"""The application log: what the gateway says of itself, as text for people or JSON for programs.

Every process hands its lines over through a pipe, and the one that started it writes those of all. Requests
are not logged here: they are rows. No message holds a secret.
"""
