"""接→派: intake, deciding, assigning and handing over; the writing half of TicketService."""
