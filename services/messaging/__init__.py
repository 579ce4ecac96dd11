"""
Owns: template, gateway, batch, delivery
Publishes: BatchFinished, MessagesSettled, OptOutReceived
Follows: customer
Calls: customer, engagement
"""
