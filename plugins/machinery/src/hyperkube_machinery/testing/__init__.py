"""What tests of hk's servers share."""
