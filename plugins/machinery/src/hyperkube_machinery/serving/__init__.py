"""HTTP serving: requests, responses and the connection under them."""
