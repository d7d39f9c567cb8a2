"""`distill eval`: what a student retrieves, alone and together with the cloud, and how far it is its teacher."""
