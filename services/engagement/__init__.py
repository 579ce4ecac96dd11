"""
Owns: portfolio, reminder, opportunity, contact_plan, work_log
Publishes: ContactRecorded, OpportunityOpened, OpportunityWon, OpportunityLost, PlanApproved
Follows: customer, allocation
Calls: customer
"""
