"""Every movement of stock, double entry, and who has been promised it.

Decides   whether units may be promised; what every movement does to which account
Streams   ``stock-{site_id}|{sku}``, ``discrepancy-{site_id}|{sku}``,
          ``reservation-{reservation_id}``, ``holder-{holder_id}``,
          ``expiry-{round_id}``
Hears     sourcing (plans), order (accepted, cancelled), picking, delivery, returns
Says      StockChanged for every entry; the life of every reservation; books that are wrong
"""
