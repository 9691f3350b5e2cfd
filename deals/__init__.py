"""The deals pipeline: ads are normalized, priced and scored, and the best are posted to Telegram.

stages/ are the steps of an ad, queue/ hands it from one to the next, estimate/ values cars, channel/ makes and sends
messages, broker/ and the modules here run it under Celery. Imports vinops; ops and the demo import it.
"""
