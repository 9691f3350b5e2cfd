"""The stand-in for the photo sources: the API that lists photos, the CDN and the members' site."""
