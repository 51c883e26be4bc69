"""The catalog: what exists, where, who helps whom, and how modes run.

Decides  whether a product, a site, an extended site, a sales zone or a mode version is sound
Streams  ``product-{sku}``, ``site-{site_id}``, ``extendedsite-{id}``, ``saleszone-{id}``,
         ``mode-{mode_id}``
Hears    nothing
Tells    ``oms.catalog.v1.events``
"""
