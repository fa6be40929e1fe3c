"""What every adapter needs: a channel, a resilient client, a watcher, a submitter, a mapping."""
