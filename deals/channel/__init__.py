"""The channel: queue.py queues messages, message.py makes their text, post.py sends them.

Of deals it imports only the words for a confidence.
"""
