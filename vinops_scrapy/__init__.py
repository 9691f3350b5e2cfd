"""The crawls: spiders navigate, pages parse, pipelines validate, store and record, extensions observe."""
