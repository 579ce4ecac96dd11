"""
Owns: template, gateway, batch, delivery, inbound
Publishes: MessageSettled, BatchFinished, OptOutReceived
Follows: customer
Calls: customer, allocation, engagement
"""
