"""The ground floor: configuration, database and logs. Every other package stands on it; it imports none of them."""
