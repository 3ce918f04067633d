"""What pipelines read: each rule of a policy as one result, once for every format."""
