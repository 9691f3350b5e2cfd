"""Messages about lots to a chat of their own: message.py makes their text, post.py sends them. deals/channel/lots.py
queues them. Imports deals.channel, deals.offers and what these import."""
