"""Why is an item recommended, or why not? Its way through the funnel, and the stage that stopped it."""
