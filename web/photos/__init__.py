"""Pictures of the site: photos of ads from the site of the ad (`ads`), photos of lots from the store (`originals`,
`thumbnails`, `download`), made smaller in one process (`maker`, `resize`), kept on disk under one cap (`cache`).

Only web/ imports it; of vinops it uses the store, of vinops_scrapy the limits of decoding.
"""
