"""
Owns: template, gateway, batch, delivery
Publishes: MessageSettled, BatchFinished
Follows: customer
Calls: customer, allocation, engagement
"""
