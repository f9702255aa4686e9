"""What makes services' addresses lead to their endpoints: rules in the kernel, or relays."""
