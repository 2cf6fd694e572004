"""Simulations without trials: large recurrent networks over long times, streamed to files as they go."""
