"""What is common to the clients that Stainless generates (openai, anthropic, and more): their base client is the same.

A provider of such a client describes its requests and reads its responses (`provider`); everything else is here.
"""
