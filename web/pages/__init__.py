"""The pages by subject. A function takes what is asked (web/requests.py) and returns an answer of Starlette's."""
