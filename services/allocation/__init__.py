"""
Owns: branch, staff, identity, ownership
Publishes: CustomersAssigned, CustomersRecalled, StaffChanged
Follows: customer
Calls: customer
"""
