\set a random(0, 9999)
\set b random(0, 9998)
\set amount random(1, 10000)
select mark.transfer(
    gen_random_uuid()::text,
    'acct-' || lpad(:a::text, 6, '0'),
    'acct-' || lpad(((:a + 1 + :b) % 10000)::text, 6, '0'),
    :amount);
