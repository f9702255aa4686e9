"""What a scheduling attempt is made of: verdicts, extension points, and how they are run."""
