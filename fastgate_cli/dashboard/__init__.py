"""The live dashboard of `fastgate top`: what it asks, how it is read, what keys do, and how it is drawn."""
