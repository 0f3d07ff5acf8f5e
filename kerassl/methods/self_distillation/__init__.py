"""Methods whose teacher's distribution over prototypes the student matches."""
