"""The stand-in for the photo side: lists of photos, the CDN, the members' site."""
