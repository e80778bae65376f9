"""Single calls: requests that are answered while they wait, each a job of one interactive document."""
