"""
Owns: branch, staff, identity, ownership, plan
Publishes: CustomersAssigned, CustomersRecalled, StaffChanged
Follows: customer
Calls: customer
"""
