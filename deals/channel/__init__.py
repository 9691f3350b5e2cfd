"""The channel: queue.py queues messages, message.py makes their text, post.py sends them. Imports vinops alone."""
