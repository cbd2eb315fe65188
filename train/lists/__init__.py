"""What is counted rather than fitted: item-item lists, top lists, quorums, and the items that speak for a user."""
