"""The spiders: navigation only, no selector in them."""
