"""
Owns: product, customer, consent, position, holding, group, snapshot, overview
Publishes: CustomersRegistered, CustomersChanged, ContactsNoted, CustomerMoved, PositionsMoved, HoldingsMaturing, CardStandardCrossed, ConsentChanged, DatesComing
Follows: -
Calls: -
"""
