# docker build -t tfl .            then: docker run --rm -v "$PWD/runs:/home/tfl/runs" tfl
# another recipe, your own photos: docker run --rm -v "$PWD:/home/tfl/work" -w /home/tfl/work tfl run my_recipe.py
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 tfl
WORKDIR /opt/tfl
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY tfl tfl
RUN pip install --no-cache-dir .

WORKDIR /home/tfl
COPY --chown=tfl:tfl recipes recipes
RUN mkdir runs && chown tfl:tfl runs
USER tfl
ENV TFL_CACHE=/home/tfl/.cache/tfl
ENTRYPOINT ["tfl"]
CMD ["run", "recipes/strawberry_disease.py"]
